package main

// A result is what one run saw. Times and counts are of the measured time,
// unless a field says otherwise.
type result struct {
	Tag      string `json:"tag,omitempty"`
	Proto    string `json:"proto"`
	Scenario string `json:"scenario"`
	Conns    int    `json:"conns"`
	Size     int    `json:"size,omitempty"`

	ConnectS   float64 `json:"connect_s"`
	ConnectCPU float64 `json:"connect_server_cpu_s"` // server CPU to take and to hand-shake all, negotiate included

	Seconds    float64 `json:"seconds,omitempty"`
	Deliveries int64   `json:"deliveries,omitempty"`
	PerS       float64 `json:"per_s,omitempty"`
	P50us      float64 `json:"p50_us,omitempty"`
	P99us      float64 `json:"p99_us,omitempty"`
	MaxUs      float64 `json:"max_us,omitempty"`
	CPUPerM    float64 `json:"server_cpu_s_per_million,omitempty"` // user and system, for a million deliveries
	SysShare   float64 `json:"server_sys_share,omitempty"`
	CPUCores   float64 `json:"server_cores,omitempty"`
	GenCPUPerM float64 `json:"gen_cpu_s_per_million,omitempty"`
	Allocs     float64 `json:"allocs_per_delivery"` // of the whole server, from stats-url
	HasAllocs  bool    `json:"has_allocs,omitempty"`

	// How the server gathers, and whether it keeps its promises. Over the
	// whole load, warm-up included.
	RecPerRead float64 `json:"records_per_read,omitempty"`
	RecPerMsg  float64 `json:"records_per_message,omitempty"`
	MaxMessage int64   `json:"max_message,omitempty"` // payload bytes of the largest WebSocket message
	MaxJoined  int64   `json:"max_joined,omitempty"`  // the same among those of more than one record
	Disorder   int64   `json:"out_of_order"`          // records older than one that the same connection had before

	Sent        int64  `json:"sent,omitempty"`
	Lost        int64  `json:"lost"` // expected and not there when the drain time was over; negative: came twice
	Dead        int64  `json:"dead"` // connections that the server ended
	Stalled     int    `json:"stalled,omitempty"`
	StalledOpen int    `json:"stalled_open,omitempty"` // how many of them the server had not ended
	FirstErr    string `json:"first_error,omitempty"`

	// Memory, in bytes. For each connection: RSS with all connected less RSS
	// before, over their number; _gc: after gc-url was asked; used: after the
	// load and -hold.
	BaseRSS     int64   `json:"base_rss,omitempty"`
	RSS         int64   `json:"rss,omitempty"` // at the end, all connected
	RSSPerConn  float64 `json:"rss_per_conn,omitempty"`
	AnonPerConn float64 `json:"anon_per_conn,omitempty"`
	RSSPerConnG float64 `json:"rss_per_conn_gc,omitempty"`
	GCInfo      any     `json:"gc_info,omitempty"`

	UsedPerConn  float64 `json:"used_rss_per_conn,omitempty"`
	UsedPerConnG float64 `json:"used_rss_per_conn_gc,omitempty"`
	UsedGCInfo   any     `json:"used_gc_info,omitempty"`
}
