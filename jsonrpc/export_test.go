package jsonrpc

// A Seen is what the scanner of envelopes has read, for its fuzz target.
type Seen struct {
	Kind   string // request, notification, answer, failure, or else
	ID     string // its JSON; empty where there is none
	Method string
	Params string // their JSON
	List   []string
	Keys   []string
	Ends   []int
}

// Scan reads one message. It reports false where it is no JSON.
func Scan(body []byte, lenient bool) (s Seen, ok bool) {
	p := parser{lenient: lenient}
	if !p.parse(body) {
		return s, false
	}
	s.Kind = [...]string{"invalid", "request", "notification", "answer", "failure", "empty", "broken"}[p.kind]
	s.ID, s.Method, s.Params = string(p.id), string(p.method), string(p.params)
	for _, v := range p.list {
		s.List = append(s.List, string(v))
	}
	for i := range p.keys {
		s.Keys = append(s.Keys, string(p.key(i)))
	}
	s.Ends = append(s.Ends, p.ends...)
	return s, true
}

// A Decoder finds messages in a stream of bytes, for its fuzz target.
type Decoder struct{ d decoder }

func NewDecoder(f Framing, max int) *Decoder { return &Decoder{decoder{framing: f, max: max}} }

// Next takes the next message; lost says that the framing is.
func (d *Decoder) Next(b []byte) (body []byte, whole bool, used int, err error, lost bool) {
	body, whole, used, err = d.d.next(b)
	_, lost = err.(*frameError)
	return body, whole, used, err, lost
}

// Frame puts a message into a framing.
func Frame(f Framing, body []byte) []byte { return formatOf(dialectPositional, f).put(nil, body) }

// Reply is the answer to a request, as the connection writes it.
func Reply(id []byte, v any) []byte {
	rec, err := dialectPositional.appendResult(nil, id, v, dialectPositional.Codec())
	if err != nil {
		panic(err)
	}
	return rec
}
