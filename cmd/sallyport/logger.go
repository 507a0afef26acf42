package main

import (
	"log/slog"
	"os"

	"sallyport/internal/config"
)

// logger writes to standard error as the configuration says. level can be changed by a reload.
func logger(c config.Log, level *slog.LevelVar) *slog.Logger {
	setLevel(c, level)
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}

func setLevel(c config.Log, level *slog.LevelVar) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(c.Level)); err == nil {
		level.Set(l)
	}
}
