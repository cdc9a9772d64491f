package msgpack

// sizes[c] is how many bytes a value takes whose first byte is c, where that
// byte says it all; else 0.
var sizes = func() (t [256]uint8) {
	for c := range 256 {
		switch {
		case c < fixMap || c >= negInt:
			t[c] = 1
		case c >= fixStr && c < codeNil:
			t[c] = 1 + uint8(c&0x1F)
		}
	}
	for c, n := range map[byte]uint8{
		codeNil: 1, false8: 1, true8: 1, float32c: 5, float64c: 9,
		uint8c: 2, uint16c: 3, uint32c: 5, uint64c: 9, int8c: 2, int16c: 3, int32c: 5, int64c: 9,
		fixExt1: 3, fixExt2: 4, fixExt4: 6, fixExt8: 10, fixExt16: 18,
	} {
		t[c] = n
	}
	return t
}()

// skip returns the index behind the value at b[i:], all of which it checks. It
// calls itself for arrays and maps inside of others, at most depth levels deep.
func skip(b []byte, i, depth int) (int, error) {
	if i >= len(b) {
		return i, ErrShort
	}
	if n := int(sizes[b[i]]); n != 0 {
		if n > len(b)-i {
			return i, ErrShort
		}
		return i + n, nil
	}
	h, err := readHead(b, i)
	if err != nil {
		return i, err
	}
	n := h.n
	switch h.kind {
	case Array:
	case Map:
		n *= 2
	default:
		return h.end(), nil
	}
	if depth <= 0 {
		return i, ErrDepth
	}
	i = h.data
	for ; n > 0; n-- {
		if i < len(b) {
			if n := int(sizes[b[i]]); n != 0 && n <= len(b)-i {
				i += n
				continue
			}
		}
		if i, err = skip(b, i, depth-1); err != nil {
			return i, err
		}
	}
	return i, nil
}
