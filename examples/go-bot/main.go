// Command go-bot answers "!ping" with "pong" in every room that it is invited to. Its test shows how such a bot is tested.
//
//	MATRIX_URL=https://example.org MATRIX_TOKEN=… go run .
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	bot := &Bot{BaseURL: os.Getenv("MATRIX_URL"), Token: os.Getenv("MATRIX_TOKEN")}
	if err := bot.Run(ctx); ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "go-bot:", err)
		os.Exit(1)
	}
}
