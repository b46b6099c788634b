package store

// outputKey is the annotation that says how a program's standard output is read: "raw" (the default, all of it is the body) or "cgi"
// (a CGI header block comes first).
const outputKey = "com.hearth.output"

// catalogue is the store's one list. Module box is many Unix programs in one and runs the one that the process names.
func catalogue() []Function {
	cgi := func() map[string]string { return map[string]string{outputKey: "cgi"} }
	return []Function{
		{Name: "hello", Title: "Hello", Module: "hello", Process: []string{"hello"},
			Description: "Greets the name in the request's body, or the world."},
		{Name: "env", Title: "Environment", Module: "box", Process: []string{"env"},
			Description: "Prints the variables that the function sees, those made from the request included."},
		{Name: "cat", Title: "Cat", Module: "box", Process: []string{"cat"},
			Description: "Answers with the request's body. With the process \"cat /var/openfaas/secrets/NAME\" it answers with a secret."},
		{Name: "echo", Title: "Echo", Module: "echo", Process: []string{"echo"}, Annotations: cgi(),
			Description: "Answers with the request's body and the request's Content-Type."},
		{Name: "sleep", Title: "Sleep", Module: "sleep", Process: []string{"sleep"}, Annotations: cgi(),
			Description: "Waits 2 seconds, or as long as the header X-Sleep or a duration in the body says (250ms, 1.5s)."},
		{Name: "sha512sum", Title: "SHA-512", Module: "box", Process: []string{"sha512sum"},
			Description: "Prints the SHA-512 of the request's body as coreutils do. The process \"sha256sum\" prints the SHA-256."},
		{Name: "wordcount", Title: "Word count", Module: "box", Process: []string{"wc"},
			Description: "Counts the lines, words and bytes of the request's body."},
		{Name: "base64", Title: "Base64", Module: "box", Process: []string{"base64"},
			Description: "Encodes the request's body in Base64. The process \"base64 -d\" decodes."},
		{Name: "alpine", Title: "Unix tools", Module: "box", Process: []string{"cat"},
			Description: "Runs the Unix program that the process names, \"wc -l\" or \"head -n 3\" for example; cat by default. The process \"box\" lists them."},
		{Name: "json", Title: "JSON", Module: "json", Process: []string{"json"}, Annotations: cgi(),
			Description: "Lays JSON out for reading, or answers 400 and the place of the first fault."},
		{Name: "figlet", Title: "Figlet", Module: "figlet", Process: []string{"figlet"},
			Description: "Writes the request's body in large letters."},
		{Name: "redirect", Title: "Redirect", Module: "redirect", Process: []string{"redirect"}, Annotations: cgi(),
			Description: "Answers 302 with the Location that the variable destination holds."},
		{Name: "status", Title: "Status", Module: "status", Process: []string{"status"}, Annotations: cgi(),
			Description: "Answers with the status asked for, /503 or ?code=503 for example, to try how a client takes it."},
		{Name: "printer", Title: "Printer", Module: "printer", Process: []string{"printer"}, Annotations: cgi(),
			Description: "Writes the headers and the body of each request to the function's log and answers 202."},
		{Name: "nodeinfo", Title: "Node info", Module: "nodeinfo", Process: []string{"nodeinfo"},
			Description: "Prints what a function can learn about the place it runs in: architecture, processors, memory, uptime, directories."},
	}
}
