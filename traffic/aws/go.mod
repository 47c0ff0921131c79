module github.com/rheostat-go/rheostat/traffic/aws

go 1.26.0

replace github.com/rheostat-go/rheostat => ../..

require (
	github.com/aws/aws-sdk-go-v2 v1.47.6
	github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk v1.35.0
	github.com/aws/smithy-go v1.28.8
	github.com/rheostat-go/rheostat v0.0.0
)

require github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream v1.7.26 // indirect

require (
	github.com/aws/aws-sdk-go-v2/internal/configsources v1.5.9 // indirect
	github.com/aws/aws-sdk-go-v2/internal/endpoints/v2 v2.8.9 // indirect
	github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2 v1.63.7
	github.com/aws/aws-sdk-go-v2/service/lambda v1.114.1
	github.com/aws/aws-sdk-go-v2/service/route53 v1.70.7
)
