package main

import "math/bits"

// A hist is a log-linear histogram of nanosecond values: 64 buckets per power of
// two, so a quantile is at most 1.6 % off.
type hist struct {
	n      uint64
	max    int64
	bucket [64 * 64]uint64
}

const histSub = 6

func (h *hist) add(ns int64) {
	if ns < 0 {
		ns = 0
	}
	if ns > h.max {
		h.max = ns
	}
	h.n++
	h.bucket[histIndex(uint64(ns))]++
}

func histIndex(v uint64) int {
	if v < 1<<histSub {
		return int(v)
	}
	e := bits.Len64(v) - histSub - 1
	return (e+1)<<histSub | int(v>>uint(e)&(1<<histSub-1))
}

func histValue(i int) int64 {
	if i < 1<<histSub {
		return int64(i)
	}
	e := i>>histSub - 1
	return int64(uint64(1<<histSub|i&(1<<histSub-1)) << uint(e))
}

func (h *hist) merge(o *hist) {
	h.n += o.n
	if o.max > h.max {
		h.max = o.max
	}
	for i, c := range o.bucket {
		h.bucket[i] += c
	}
}

// quantile returns the value at q (0..1), in nanoseconds.
func (h *hist) quantile(q float64) int64 {
	if h.n == 0 {
		return 0
	}
	want := uint64(q * float64(h.n))
	var seen uint64
	for i, c := range h.bucket {
		seen += c
		if seen > want {
			return histValue(i)
		}
	}
	return h.max
}
