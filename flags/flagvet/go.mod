module github.com/rheostat-go/rheostat/flags/flagvet

go 1.26.0

require (
	github.com/google/go-cmp v0.7.0
	github.com/rheostat-go/rheostat v0.0.0
	golang.org/x/tools v0.52.0
)

require (
	golang.org/x/mod v0.42.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
)

replace github.com/rheostat-go/rheostat => ../..
