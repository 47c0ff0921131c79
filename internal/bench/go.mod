module github.com/rheostat-go/rheostat/internal/bench

go 1.26.0

require github.com/rheostat-go/rheostat v0.0.0

replace github.com/rheostat-go/rheostat => ../..
