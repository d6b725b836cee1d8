//go:build ignore

// Makes golden.json: requests of remote write 1.0 and 2.0 as Prometheus' own packages write them, and what is in them by its own
// reckoning: every bucket of a native histogram with its bound and the observations up to it.
//
//	go mod init oracle && go get github.com/prometheus/prometheus@v0.315.0 && go run oracle.go > golden.json
package main

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"strconv"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

type bucket struct {
	Bound string  `json:"bound"`
	Below float64 `json:"below"`
}

type hist struct {
	Name    string   `json:"name"`
	At      int64    `json:"at"`
	Count   float64  `json:"count"`
	Sum     float64  `json:"sum"`
	Buckets []bucket `json:"buckets"`
}

type golden struct {
	V1         string `json:"v1"`
	V2         string `json:"v2"`
	Histograms []hist `json:"histograms"`
}

// The finest resolution that Halo keeps.
const schema = 2

func expected(name string, at int64, f *histogram.FloatHistogram) hist {
	f = f.Copy()
	if !f.UsesCustomBuckets() && f.Schema > schema {
		f.ReduceResolution(schema)
	}
	h := hist{Name: name, At: at, Count: f.Count, Sum: f.Sum}
	below := 0.0
	it := f.AllBucketIterator()
	for it.Next() {
		b := it.At()
		below += b.Count
		if b.Count > 0 && !math.IsInf(b.Upper, 1) {
			h.Buckets = append(h.Buckets, bucket{strconv.FormatFloat(b.Upper, 'g', -1, 64), below})
		}
	}
	return h
}

func main() {
	at := int64(1_700_000_000_000)
	spans := func(pairs ...int32) (s []histogram.Span) {
		for i := 0; i < len(pairs); i += 2 {
			s = append(s, histogram.Span{Offset: pairs[i], Length: uint32(pairs[i+1])})
		}
		return s
	}
	ints := map[string]*histogram.Histogram{
		"coarse": {
			Schema: 1, Count: 20, Sum: 18.4, ZeroThreshold: 0.001, ZeroCount: 2,
			PositiveSpans: spans(0, 2, 1, 2), PositiveBuckets: []int64{1, 2, -2, 3},
			NegativeSpans: spans(-3, 2, 4, 1), NegativeBuckets: []int64{4, -2, 1},
		},
		"fine": {
			Schema: 8, Count: 14, Sum: 3.25, ZeroThreshold: 1e-128,
			PositiveSpans: spans(-700, 3, 512, 1, 900, 2), PositiveBuckets: []int64{1, 1, 1, -2, 3, -1},
		},
		"custom": {
			Schema: histogram.CustomBucketsSchema, Count: 11, Sum: 9.5,
			PositiveSpans: spans(0, 2, 1, 1), PositiveBuckets: []int64{2, 3, -1}, CustomValues: []float64{0.1, 0.5, 2.5},
		},
	}
	float := &histogram.FloatHistogram{
		Schema: 0, Count: 7.75, Sum: 12.5, ZeroThreshold: 0.01, ZeroCount: 0.5,
		PositiveSpans: spans(-1, 2, 2, 1), PositiveBuckets: []float64{1.25, 2.5, 3.5},
	}
	var out golden
	var old prompb.WriteRequest
	table := writev2.NewSymbolTable()
	var request writev2.Request
	named := func(name string) labels.Labels {
		return labels.FromStrings("__name__", name, "instance", "web-1", "kind", "k", "zone", "z")
	}
	meta := func(kind string) writev2.Metadata {
		m := metadata.Metadata{Type: "histogram", Unit: "seconds", Help: "How long."}
		if kind != "" {
			m.Type = "counter"
		}
		return writev2.Metadata{
			Type:    writev2.FromMetadataType(m.Type),
			HelpRef: table.Symbolize(m.Help), UnitRef: table.Symbolize(m.Unit),
		}
	}
	for _, name := range []string{"coarse", "fine", "custom"} {
		h := ints[name]
		if err := h.Validate(); err != nil {
			panic(name + ": " + err.Error())
		}
		out.Histograms = append(out.Histograms, expected(name, at, h.ToFloat(nil)))
		old.Timeseries = append(old.Timeseries, prompb.TimeSeries{
			Labels:     prompb.FromLabels(named(name), nil),
			Histograms: []prompb.Histogram{prompb.FromIntHistogram(at, h)},
		})
		v2 := writev2.FromIntHistogram(at-60_000, at, h)
		request.Timeseries = append(request.Timeseries, writev2.TimeSeries{
			LabelsRefs: table.SymbolizeLabels(named(name), nil), Metadata: meta(""), Histograms: []writev2.Histogram{v2},
		})
	}
	if err := float.Validate(); err != nil {
		panic(err)
	}
	out.Histograms = append(out.Histograms, expected("float", at, float))
	old.Timeseries = append(old.Timeseries, prompb.TimeSeries{
		Labels:     prompb.FromLabels(named("float"), nil),
		Histograms: []prompb.Histogram{prompb.FromFloatHistogram(at, float)},
	})
	request.Timeseries = append(request.Timeseries, writev2.TimeSeries{
		LabelsRefs: table.SymbolizeLabels(named("float"), nil), Metadata: meta(""),
		Histograms: []writev2.Histogram{writev2.FromFloatHistogram(0, at, float)},
	})
	// A counter with a start and an exemplar, and a series that has ended.
	ex := exemplar.Exemplar{Labels: labels.FromStrings("trace_id", "abc"), Value: 0.25, Ts: at - 5, HasTs: true}
	old.Timeseries = append(old.Timeseries, prompb.TimeSeries{
		Labels:    prompb.FromLabels(named("requests_total"), nil),
		Samples:   []prompb.Sample{{Value: 41, Timestamp: at - 1000}, {Value: 42, Timestamp: at}},
		Exemplars: []prompb.Exemplar{{Labels: prompb.FromLabels(ex.Labels, nil), Value: ex.Value, Timestamp: ex.Ts}},
	}, prompb.TimeSeries{
		Labels:  prompb.FromLabels(named("gone"), nil),
		Samples: []prompb.Sample{{Value: math.Float64frombits(value.StaleNaN), Timestamp: at}},
	})
	old.Metadata = []prompb.MetricMetadata{
		{Type: prompb.MetricMetadata_COUNTER, MetricFamilyName: "requests_total", Help: "How many.", Unit: "requests"},
	}
	request.Timeseries = append(request.Timeseries, writev2.TimeSeries{
		LabelsRefs: table.SymbolizeLabels(named("requests_total"), nil), Metadata: meta("counter"),
		Samples: []writev2.Sample{
			{Value: 41, Timestamp: at - 1000, StartTimestamp: at - 60_000}, {Value: 42, Timestamp: at, StartTimestamp: at - 60_000},
		},
		Exemplars: []writev2.Exemplar{
			{LabelsRefs: table.SymbolizeLabels(ex.Labels, nil), Value: ex.Value, Timestamp: ex.Ts},
		},
	}, writev2.TimeSeries{
		LabelsRefs: table.SymbolizeLabels(named("gone"), nil),
		Samples:    []writev2.Sample{{Value: math.Float64frombits(value.StaleNaN), Timestamp: at}},
	})
	request.Symbols = table.Symbols()
	bytes, err := old.Marshal()
	if err != nil {
		panic(err)
	}
	out.V1 = hex.EncodeToString(snappy.Encode(nil, bytes))
	if bytes, err = request.Marshal(); err != nil {
		panic(err)
	}
	out.V2 = hex.EncodeToString(snappy.Encode(nil, bytes))
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(out); err != nil {
		panic(err)
	}
}
