package dotnet

import (
	"errors"
	"fmt"
	"time"

	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/internal/msgpack"
)

// A DateTimeOffset is a System.DateTimeOffset: a time of the clock with an
// offset from UTC. It counts in ticks of 100 ns, offsets in minutes up to 14
// hours, years from 1 to 9999; what is finer is cut off when it is written, what
// is beyond is an error then.
//
// All methods of time.Time can be called on it. The zero DateTimeOffset is
// DateTimeOffset.MinValue.
type DateTimeOffset struct{ time.Time }

const (
	tick       = 100 * time.Nanosecond
	maxMinutes = 14 * 60
)

var (
	errTime      = errors.New("dotnet: time: not of the form 2006-01-02T15:04:05.9999999+00:00")
	errTimeRange = errors.New("dotnet: time: beyond the years 1 to 9999, or an offset beyond 14 hours")
)

// NewDateTimeOffset is t with the offset of its location, in whole ticks.
func NewDateTimeOffset(t time.Time) DateTimeOffset { return DateTimeOffset{t.Truncate(tick)} }

// clock is the time of the clock, as if it was UTC, and the offset in minutes.
func (d DateTimeOffset) clock() (clock time.Time, minutes int, err error) {
	_, seconds := d.Zone()
	minutes = seconds / 60
	utc := d.UTC().Truncate(tick)
	clock = utc.Add(time.Duration(minutes) * time.Minute)
	if minutes < -maxMinutes || minutes > maxMinutes || !inRange(utc) || !inRange(clock) {
		return clock, minutes, errTimeRange
	}
	return clock, minutes, nil
}

func inRange(t time.Time) bool { return t.Year() >= 1 && t.Year() <= 9999 }

// fromClock is the way back from clock.
func fromClock(clock time.Time, minutes int) (DateTimeOffset, error) {
	if minutes < -maxMinutes || minutes > maxMinutes {
		return DateTimeOffset{}, errTimeRange
	}
	utc := clock.Truncate(tick).Add(-time.Duration(minutes) * time.Minute)
	if !inRange(utc) || !inRange(clock) {
		return DateTimeOffset{}, errTimeRange
	}
	if minutes == 0 {
		return DateTimeOffset{utc.UTC()}, nil
	}
	return DateTimeOffset{utc.In(time.FixedZone("", minutes*60))}, nil
}

// String is the form that .NET writes: 2006-01-02T15:04:05.1234567+02:00, with
// as many digits of the fraction as needed, and always an offset. A time out of
// range is shown as time.Time does.
func (d DateTimeOffset) String() string {
	b, err := d.AppendText(nil)
	if err != nil {
		return d.Time.String()
	}
	return string(b)
}

// AppendText appends what String returns. It implements encoding.TextAppender.
func (d DateTimeOffset) AppendText(dst []byte) ([]byte, error) {
	clock, minutes, err := d.clock()
	if err != nil {
		return dst, err
	}
	dst = clock.AppendFormat(dst, "2006-01-02T15:04:05.9999999")
	sign := byte('+')
	if minutes < 0 {
		sign, minutes = '-', -minutes
	}
	return fmt.Appendf(dst, "%c%02d:%02d", sign, minutes/60, minutes%60), nil
}

// MarshalText is what String returns.
func (d DateTimeOffset) MarshalText() ([]byte, error) { return d.AppendText(nil) }

// UnmarshalText is ParseDateTimeOffset. On an error, d stays as it was.
func (d *DateTimeOffset) UnmarshalText(text []byte) error {
	out, err := ParseDateTimeOffset(string(text))
	if err == nil {
		*d = out
	}
	return err
}

// MarshalJSON is the text as a JSON string.
func (d DateTimeOffset) MarshalJSON() ([]byte, error) {
	b, err := d.AppendText([]byte{'"'})
	return append(b, '"'), err
}

// UnmarshalJSON reads a JSON string. null is an error.
func (d *DateTimeOffset) UnmarshalJSON(src []byte) error {
	text, err := jsonwire.Text(src)
	if err != nil {
		return errTime
	}
	return d.UnmarshalText([]byte(text))
}

// AppendMsgpack appends an array of two: the time of the clock as a timestamp,
// and the offset in minutes.
func (d DateTimeOffset) AppendMsgpack(dst []byte) ([]byte, error) {
	clock, minutes, err := d.clock()
	if err != nil {
		return dst, err
	}
	dst = msgpack.AppendArrayHeader(dst, 2)
	dst = msgpack.AppendTime(dst, clock)
	return msgpack.AppendInt(dst, int64(minutes)), nil
}

// DecodeMsgpack reads such an array. Anything else, nil too, is an error.
func (d *DateTimeOffset) DecodeMsgpack(src []byte) error {
	var r msgpack.Reader
	r.Reset(src)
	if n, err := r.ReadArrayHeader(); err != nil || n != 2 {
		return errors.New("dotnet: time: not an array of a timestamp and minutes")
	}
	clock, err := r.ReadTime()
	if err != nil {
		return fmt.Errorf("dotnet: time: %w", err)
	}
	minutes, err := r.ReadInt32()
	if err != nil {
		return fmt.Errorf("dotnet: time: offset: %w", err)
	}
	out, err := fromClock(clock, int(minutes))
	if err == nil {
		*d = out
	}
	return err
}

// ParseDateTimeOffset reads what System.Text.Json reads: a date, or a date, T
// and a time in hours and minutes, with or without seconds, a fraction of up to
// 16 digits (of which seven count) and an offset, Z or +02:00 or -05. T and Z
// are upper case. Without an offset the time is one of the local zone.
func ParseDateTimeOffset(s string) (DateTimeOffset, error) {
	p := parser{rest: s, ok: true}
	year := p.number(4)
	p.one('-')
	month := p.number(2)
	p.one('-')
	day := p.number(2)
	var hour, minute, second, nanos int
	offset := none
	if p.ok && p.rest != "" {
		p.one('T')
		hour = p.number(2)
		p.one(':')
		minute = p.number(2)
		if p.next(':') {
			second = p.number(2)
			if p.next('.') {
				nanos = p.fraction()
			}
		}
		offset = p.offset()
	}
	if !p.ok || p.rest != "" || hour > 23 || minute > 59 || second > 59 {
		return DateTimeOffset{}, errTime
	}
	clock := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	if year < 1 || clock.Month() != time.Month(month) || clock.Day() != day {
		return DateTimeOffset{}, errTime
	}
	if offset != none {
		return fromClock(clock, offset)
	}
	local := DateTimeOffset{time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.Local)}
	_, _, err := local.clock()
	return local, err
}

// none is the offset of a text without one.
const none = 1 << 20

// A parser reads a text piece by piece, until something does not fit.
type parser struct {
	rest string
	ok   bool
}

// next passes c, if that is next.
func (p *parser) next(c byte) bool {
	if !p.ok || p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// one passes c, which must be next.
func (p *parser) one(c byte) { p.ok = p.next(c) }

// number reads so many digits.
func (p *parser) number(digits int) (n int) {
	if len(p.rest) < digits {
		p.ok = false
		return 0
	}
	for i := range digits {
		c := p.rest[i]
		if c < '0' || c > '9' {
			p.ok = false
			return 0
		}
		n = n*10 + int(c-'0')
	}
	p.rest = p.rest[digits:]
	return n
}

// fraction reads 1 to 16 digits, in nanoseconds; those behind the seventh do
// not count.
func (p *parser) fraction() (nanos int) {
	n := 0
	for unit := 100_000_000; n < len(p.rest) && p.rest[n] >= '0' && p.rest[n] <= '9'; n++ {
		if n < 7 {
			nanos += int(p.rest[n]-'0') * unit
			unit /= 10
		}
	}
	if n < 1 || n > 16 {
		p.ok = false
		return 0
	}
	p.rest = p.rest[n:]
	return nanos
}

// offset reads the offset, if there is one, in minutes.
func (p *parser) offset() int {
	if !p.ok || p.rest == "" {
		return none
	}
	if p.next('Z') {
		return 0
	}
	sign := 1
	if p.next('-') {
		sign = -1
	} else {
		p.one('+')
	}
	minutes := p.number(2) * 60
	if p.next(':') {
		m := p.number(2)
		if m > 59 {
			p.ok = false
		}
		minutes += m
	}
	return sign * minutes
}
