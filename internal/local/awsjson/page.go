package awsjson

import "strconv"

// Pages are what a service says of the lists that it tells in parts.
type Pages struct {
	// Size names the member of the input that bounds a page, for messages.
	Size string
	// Least and Most bound it. Where it is not given, or 0 is allowed and given, a page has Default
	// entries.
	Least, Most, Default int
	// InvalidSize and InvalidToken are the exceptions for a bound and for a token that are none.
	InvalidSize, InvalidToken string
}

// Page is the part of a list that a token leads to, the first one without a token, and the token of
// the next part; that is empty at the end.
func Page[T any](of Pages, all []T, size *int, token string) (part []T, next string, err error) {
	most := of.Default
	if size != nil {
		if *size < of.Least || *size > of.Most {
			return nil, "", Exceptionf(of.InvalidSize, "%s is %d: %d to %d are allowed", of.Size, *size, of.Least,
				of.Most)
		}
		if *size > 0 {
			most = *size
		}
	}
	from := 0
	if token != "" {
		if from, err = strconv.Atoi(token); err != nil || from < 0 || from > len(all) {
			return nil, "", Exceptionf(of.InvalidToken, "the token %q is none of this list's", token)
		}
	}
	all = all[from:]
	if len(all) > most {
		return all[:most], strconv.Itoa(from + most), nil
	}
	return all, "", nil
}
