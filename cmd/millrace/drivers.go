package main

// All drivers of this module.
import (
	_ "github.com/millrace-go/millrace/store/memory"
	_ "github.com/millrace-go/millrace/store/postgres"
	_ "github.com/millrace-go/millrace/store/redis"
	_ "github.com/millrace-go/millrace/store/sqlite"
	_ "github.com/millrace-go/millrace/transports/amqp"
	_ "github.com/millrace-go/millrace/transports/memory"
	_ "github.com/millrace-go/millrace/transports/redisstream"
	_ "github.com/millrace-go/millrace/transports/watermillsql"
)
