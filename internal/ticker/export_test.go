package ticker

// TickNow is one tick, now, by the caller.
func (s *Set) TickNow() {
	s.mu.Lock()
	stop := s.stop
	s.mu.Unlock()
	var taken [batch]Member
	s.tick(stop, s.clock.Add(1), &taken)
}
