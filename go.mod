module github.com/rheostat-go/rheostat

go 1.26
