package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	for x := 101; x <= 120; x++ {
		body := fmt.Sprintf(`{"instances": [{"x": %d}]}`, x)
		var sent io.Reader = strings.NewReader(body)
		if x%2 == 1 {
			sent = io.MultiReader(sent)
		}
		answer, err := http.Post(os.Args[1], "application/json", sent)
		if err != nil {
			panic(err)
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		fmt.Println(answer.StatusCode, string(text))
	}
}
