// Package transform changes a stanza that policy lets pass (POLICY "transforms"): a [Stanza] is read from the scanned bytes, changed by
// its methods, and written anew by our own writer, with every namespace declared where it begins.
//
// A change is whole or it is none: what is signed or encrypted cannot be changed in part, so a method that would have to says so with
// [ErrSealed], and its caller denies the stanza.
package transform
