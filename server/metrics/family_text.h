// AppendFamily(): a family of metrics as Prometheus reads it.
#ifndef PORTREEVE_SERVER_METRICS_FAMILY_TEXT_H_
#define PORTREEVE_SERVER_METRICS_FAMILY_TEXT_H_

#include <prometheus/metric_family.h>

#include <string>

namespace portreeve::server {

// Adds to `text` what prometheus::TextSerializer would write of a family of
// counters, gauges or histograms, at a fraction of its cost: that is most of
// what a scrape costs the daemon.
void AppendFamily(const prometheus::MetricFamily& family, std::string& text);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_METRICS_FAMILY_TEXT_H_
