package auth

// ParseKeySet is parseKeySet, with as much of the keys as tests look at.
func ParseKeySet(data []byte) (ids []string, algorithms []string, skipped []string, err error) {
	keys, skipped, err := parseKeySet(data)
	for _, k := range keys {
		ids = append(ids, k.id)
		for _, a := range k.algorithms {
			algorithms = append(algorithms, string(a))
		}
	}
	return ids, algorithms, skipped, err
}

var (
	LifeOf      = lifeOf
	ParseObject = parseObject
)
