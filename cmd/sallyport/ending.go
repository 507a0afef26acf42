package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"sallyport/internal/config"
	"sallyport/policy"
)

// remindEvery is how often the log tells of exceptions that have ended or soon will.
const remindEvery = 24 * time.Hour

// reminders tells of exceptions daily, and of each when it ends.
func reminders(ctx context.Context, log *slog.Logger, e *policy.Engine) error {
	for {
		wait := time.NewTimer(untilNext(e, time.Now()))
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-wait.C:
			remind(log, e, time.Now())
		}
	}
}

// untilNext is the time to the next end, a day at the most.
func untilNext(e *policy.Engine, now time.Time) time.Duration {
	wait := remindEvery
	for _, x := range e.Snapshot().Exceptions(now) {
		if !x.Ended {
			wait = min(wait, x.Until.Sub(now))
		}
	}
	return wait
}

func remind(log *slog.Logger, e *policy.Engine, now time.Time) {
	for _, x := range e.Ending(now) {
		message, advice := "an exception ends soon", "ask its owner whether it goes on: another until, or none"
		if x.Ended {
			message, advice = "an exception has ended and no longer counts", "give it another until, or take it out of the data"
		}
		log.Warn(message, "reason", x.String(), "until", x.Until.Format(time.RFC3339), "advice", advice)
	}
}

// placedEnd is what an exception says, with its line where the configuration has it.
func placedEnd(c *config.Config, x policy.Exception) string {
	for pattern := range c.Peers {
		if x.Document == "peers" && string(pattern) == x.Name {
			return c.At(fmt.Sprintf("peers[%s]", pattern), errors.New(x.Fate())).Error()
		}
	}
	return x.String()
}
