// lines [-batched] ADDR: a line echo with a goroutine per connection, on one thread.
//
// Line by line: one write per line. Batched: a buffered writer, flushed when no more of what was read is
// left. The library sets TCP_NODELAY by itself.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"runtime"
)

func main() {
	runtime.GOMAXPROCS(1)
	listener, err := net.Listen("tcp", os.Args[len(os.Args)-1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	echo := byLine
	if os.Args[1] == "-batched" {
		echo = batched
	}
	fmt.Println("listening on", listener.Addr())
	for {
		conn, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go echo(conn)
	}
}

func byLine(conn net.Conn) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for {
		line, err := reader.ReadBytes('\n')
		if err != nil {
			return
		}
		if _, err := conn.Write(line); err != nil {
			return
		}
	}
}

func batched(conn net.Conn) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	writer := bufio.NewWriter(conn)
	for {
		line, err := reader.ReadBytes('\n')
		if err != nil {
			return
		}
		writer.Write(line) // its error comes again with the flush
		if reader.Buffered() == 0 {
			if writer.Flush() != nil {
				return
			}
		}
	}
}
