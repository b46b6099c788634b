// Command tool is an ordinary Go program as people write them for a function:
// it reads standard input, writes standard output and knows nothing of what it
// runs on. What to do is said by its arguments or, without any, by the parts of
// the request's path.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

func main() {
	words := os.Args[1:]
	if len(words) == 0 {
		words = strings.Split(strings.Trim(os.Getenv("Http_Path"), "/"), "/")
	}
	verbs := map[string]func(words ...string) error{
		"cat": cat, "upper": upper, "report": report, "workers": workers, "sleep": sleep, "read": read, "write": write,
		"panic": func(...string) error { panic("on purpose") }, "exit": func(...string) error { os.Exit(3); return nil },
		"deadlock": deadlock, "spin": spin, "hoard": hoard, "recurse": func(...string) error { fmt.Println(recurse(1)); return nil }, "clock": clock,
	}
	do, ok := verbs[words[0]]
	if !ok {
		fmt.Fprintf(os.Stderr, "tool: no verb %q\n", words[0])
		os.Exit(2)
	}
	if err := do(words[1:]...); err != nil {
		fmt.Fprintln(os.Stderr, "tool:", err)
		os.Exit(1)
	}
}

func cat(...string) error {
	_, err := io.Copy(os.Stdout, os.Stdin)
	return err
}

func upper(...string) error {
	out := bufio.NewWriter(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Fprintln(out, strings.ToUpper(lines.Text()))
	}
	return errors.Join(lines.Err(), out.Flush())
}

// report reads {"text": ...} and answers how often each mail address is in it:
// JSON, a regular expression, a map and sorting.
func report(...string) error {
	var in struct {
		Text string `json:"text"`
	}
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		return err
	}
	counts := map[string]int{}
	for _, a := range regexp.MustCompile(`[\w.+-]+@[\w-]+(\.[\w-]+)+`).FindAllString(in.Text, -1) {
		counts[strings.ToLower(a)]++
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"addresses": counts, "path": os.Getenv("Http_Path")})
}

// workers adds the numbers of 1 to 1000 in goroutines.
func workers(...string) error {
	var wait sync.WaitGroup
	sums := make(chan int)
	for w := range 8 {
		wait.Go(func() {
			for n := w; n <= 1000; n += 8 {
				sums <- n
				runtime.Gosched()
			}
		})
	}
	go func() { wait.Wait(); close(sums) }()
	total := 0
	for n := range sums {
		total += n
	}
	fmt.Println(total)
	return nil
}

func sleep(words ...string) error {
	d, err := time.ParseDuration(words[0])
	if err == nil {
		time.Sleep(d)
		fmt.Println("slept")
	}
	return err
}

// read prints the files that the arguments name.
func read(names ...string) error {
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if _, err := os.Stdout.Write(text); err != nil {
			return err
		}
	}
	return nil
}

func write(names ...string) error { return os.WriteFile(names[0], []byte("x"), 0o600) }

func deadlock(...string) error {
	<-make(chan int)
	return nil
}

func spin(...string) error {
	for {
		runtime.Gosched()
	}
}

// hoard takes memory until there is no more.
func hoard(...string) error {
	var all [][]byte
	for {
		all = append(all, slices.Repeat([]byte{1}, 1<<20))
	}
}

func recurse(n int) int {
	if n == 0 {
		return 0
	}
	return recurse(n+1) + 1
}

// clock fails unless both clocks are of now and go on.
func clock(...string) error {
	start := time.Now()
	if start.Year() < 2024 {
		return fmt.Errorf("it is %v", start)
	}
	for time.Since(start) <= 0 {
	}
	fmt.Println("ticks")
	return nil
}
