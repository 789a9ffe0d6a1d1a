package text

import "encoding/json"

// Values returns the values of a JSON object of strings; nil if s is anything else.
func Values(s string) []string {
	var object map[string]string
	if json.Unmarshal([]byte(s), &object) != nil {
		return nil
	}
	var values []string
	for _, value := range object {
		values = append(values, value)
	}
	return values
}
