// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package nginx_test

import (
	"fmt"
	"log"

	"github.com/rheostat-go/rheostat/traffic/nginx"
)

// What nginx's configuration needs, beside the include that Initial begins.
func ExampleRouter_Config() {
	r, err := nginx.New("/etc/nginx/rheostat/web.conf", nginx.Options{Status: "127.0.0.1:9180"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(r.Config())
	// Output:
	// # At the top, outside of all blocks: how long requests go on in old workers.
	// worker_shutdown_timeout 10s;
	//
	// # In http, beside an upstream for each arm.
	// include /etc/nginx/rheostat/web.conf;
	// server {
	//     listen 127.0.0.1:9180;
	//     access_log off;
	//     location = /rheostat_arm {
	//         default_type text/plain;
	//         return 200 "rheostat $rheostat_arm_generation\n";
	//     }
	// }
	//
	// # In each location that the route is for.
	// proxy_pass http://$rheostat_arm;
}
