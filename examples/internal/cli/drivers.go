package cli

import (
	_ "github.com/millrace-go/millrace/store/memory" // a program works with the stores
	_ "github.com/millrace-go/millrace/store/postgres"
	_ "github.com/millrace-go/millrace/store/redis"
	_ "github.com/millrace-go/millrace/store/sqlite" // and transports
	_ "github.com/millrace-go/millrace/transports/amqp"
	_ "github.com/millrace-go/millrace/transports/memory"      // that it links
	_ "github.com/millrace-go/millrace/transports/redisstream" //
)
