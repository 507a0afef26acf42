// Package house holds no code: its tests read the project's sources and keep the rules of the house. Who may import whom,
// one teaching comment a package, one spelling of a citation, the single place where a stream becomes trusted.
package house
