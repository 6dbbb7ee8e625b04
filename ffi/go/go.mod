module github.com/intelsdi-x/tribe/ffi/go

go 1.24
