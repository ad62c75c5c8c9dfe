// Prometheus' discovery in a Kubernetes cluster, whose informers are client-go's, as Prometheus starts it:
// `discovery KUBECONFIG ROLE...` prints each group of targets that it tells of, a line each.
package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/kubernetes"
	"github.com/prometheus/prometheus/discovery/targetgroup"
)

func main() {
	groups := make(chan []*targetgroup.Group)
	for _, role := range os.Args[2:] {
		registry := prometheus.NewRegistry()
		c := &kubernetes.SDConfig{
			Role:             kubernetes.Role(role),
			KubeConfig:       os.Args[1],
			HTTPClientConfig: config.DefaultHTTPClientConfig,
		}
		metrics := c.NewDiscovererMetrics(registry, discovery.NewRefreshMetrics(registry))
		if err := metrics.Register(); err != nil {
			panic(err)
		}
		logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
		d, err := c.NewDiscoverer(discovery.DiscovererOptions{Logger: logger, Metrics: metrics})
		if err != nil {
			panic(err)
		}
		go d.Run(context.Background(), groups)
	}
	out := json.NewEncoder(os.Stdout)
	for some := range groups {
		for _, group := range some {
			out.Encode(map[string]any{"source": group.Source, "labels": group.Labels, "targets": group.Targets})
		}
	}
}
