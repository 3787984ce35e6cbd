package known

import "sync"

// Doubt is how far guesses are to be trusted. Where several processes change
// the same rows, what one knows is often old; then it is better to read. Safe
// for concurrent use.
type Doubt struct {
	mu    sync.Mutex
	level int // how many commits to read for, after the next wrong guess
	left  int
}

const mostDoubt = 63

// Skip reports whether the next commit is to read.
func (d *Doubt) Skip() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left == 0 {
		return false
	}
	d.left--
	return true
}

// Wrong notes that a guess was.
func (d *Doubt) Wrong() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.level = min(2*d.level+1, mostDoubt)
	d.left = d.level
}

// Right notes that a commit was decided on what is so.
func (d *Doubt) Right() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.left == 0 {
		d.level /= 2
	}
}
