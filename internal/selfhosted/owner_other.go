//go:build !unix

package selfhosted

func keepOwner(string, string) error { return nil }
