// Command hello greets after a second. Kill it before, and start it again.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	_ "github.com/millrace-go/millrace/store/sqlite"
)

var meet, greet = saga.NewTask[string]("hello/meet"), saga.NewTask[string]("hello/greet")

func main() {
	r, err := router.New(context.Background(), router.Config{}) // on the SQLite file millrace.db
	if err != nil {
		log.Fatal(err)
	}
	saga.Handle(r, meet, func(_ context.Context, name string) (saga.Step, error) {
		return saga.Send(greet, "Hello, "+name+"!").After(time.Second), nil
	})
	saga.Handle(r, greet, func(_ context.Context, text string) (saga.Step, error) { return saga.Finish(text), nil })
	var text string
	err = r.RunWhile(context.Background(), func(ctx context.Context) error {
		run, err := saga.Start(ctx, r, meet, "world", saga.ID("hello-1"))
		if err == nil {
			err = run.Result(ctx, &text)
		}
		return err
	})
	if err := errors.Join(err, r.Close()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(text)
}
