//go:build !linux

package selfhosted

import "errors"

func exchange(string, string) error { return errors.ErrUnsupported }
