package payload

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/aimindset/terraform-provider-aimindset/internal/codes"
)

// codesFile is the file beside the entry point in which the built-in function
// finds what is said about the codes that it reports. In the repository it is a
// link to the file of package codes.
const codesFile = "codes.json"

// functionCodes are the codes that the built-in function reports, as its
// codesFile. Other codes are left out: a new text for one of them is not a reason
// to deploy the function again.
func functionCodes() []byte {
	own := codes.All()
	maps.DeleteFunc(own, func(_ string, code codes.Code) bool { return !code.ArisesAt(codes.Function) })
	return encode(own)
}

// codeRow is a row of the table auto_backup.codes.
type codeRow struct {
	Code     string `json:"code"`
	SQLState string `json:"sqlstate"`
	codes.Text
	Arises []string `json:"arises"`
}

// codeRows are the rows of the table auto_backup.codes as a JSON array: the
// codes that a run can have. Those of a status alone are nothing that the
// database knows.
func codeRows() []byte {
	var rows []codeRow
	all := codes.All()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		code := all[name]
		if !code.OfRun() {
			continue
		}
		rows = append(rows, codeRow{Code: name, Text: code.Text, Arises: code.Arises})
		for _, state := range slices.Sorted(maps.Keys(code.SQLStates)) {
			rows = append(rows, codeRow{Code: name, SQLState: state, Text: code.SQLStates[state], Arises: code.Arises})
		}
	}
	return must(json.Marshal(rows))
}
