// Package examples holds complete configurations and policies to start from. Its tests load each of them, and every example of
// the README and the docs, with the code that the gate itself uses.
package examples
