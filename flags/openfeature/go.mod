module github.com/rheostat-go/rheostat/flags/openfeature

go 1.26.0

require (
	github.com/google/go-cmp v0.7.0
	github.com/open-feature/go-sdk v1.20.0
	github.com/rheostat-go/rheostat v0.0.0
)

require go.uber.org/mock v0.6.0 // indirect

replace github.com/rheostat-go/rheostat => ../..
