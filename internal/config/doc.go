// Package config reads sallyport.yaml: one file, every key known, every fault told.
//
// Each room of the house has a Config struct whose tags say how a key is called, what it is when it is left out, and what it means.
// This package gathers them, fills them from the file and checks what one room alone cannot see: that a domain has one
// backend, that two doors are not one socket, that what a peer must prove fits the channel that it may use.
//
// An operator gets all faults at once, each with its line and with what would be right. A key that nobody knows is a
// fault, for a misspelt rule must not look like a rule. Nothing of a file with a fault is used.
//
// Whether files exist, certificates match or a policy compiles is for the rooms to say; `sallyport check` asks them too.
//
// The reference in docs/reference/configuration.md is written from the same tags, by Reference.
package config
