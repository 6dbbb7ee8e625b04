package tribe

// #include <tribe.h>
import "C"

// KeyStatus is how far the keys of the cluster are, and who holds them. Keys are named by fingerprints.
type KeyStatus struct {
	Keys    []KeyInfo   `json:"keys"`
	Members []KeyHolder `json:"members"`
}

// A KeyInfo is a key of the cluster.
type KeyInfo struct {
	ID    string `json:"id"`
	Phase string `json:"phase"` // "installed", "in-use" or "removed"
	Held  bool   `json:"held"`  // By this node.
}

// A KeyHolder is a member and the keys it holds.
type KeyHolder struct {
	Node  string   `json:"node"`
	Alive bool     `json:"alive"`
	Keys  []string `json:"keys"` // The sealing one first; nil if it has not said.
}

// Keys tells how far the keys of the cluster are. It waits up to a second for members that have not said
// what they hold.
func (n *Node) Keys() (KeyStatus, error) {
	return ask[KeyStatus](n, "keys", func(node *C.tribe_node, text **C.tribe_text, e **C.tribe_error) C.tribe_status {
		return C.tribe_keys(node, text, e)
	})
}

// InstallKey has all members hold a key, 32 bytes in base64: they open what is sealed with it, and seal as
// before. The library wipes its copies of the text; yours is yours.
func (n *Node) InstallKey(key string) error {
	var t texts
	defer t.free()
	return n.call("install key", func(node *C.tribe_node, e **C.tribe_error) C.tribe_status {
		return C.tribe_key_install(node, t.str(key), nil, e)
	})
}

// UseKey has all members seal with an installed key, named by its fingerprint. All must hold it, unless it is
// forced.
func (n *Node) UseKey(id string, force bool) error {
	var t texts
	defer t.free()
	return n.call("use key", func(node *C.tribe_node, e **C.tribe_error) C.tribe_status {
		return C.tribe_key_use(node, t.str(id), C.bool(force), nil, e)
	})
}

// RemoveKey has no member open what is sealed with a key. Who was away and has only this one is handed the
// others for 7 days. All must hold the key that seals, unless it is forced.
func (n *Node) RemoveKey(id string, force bool) error {
	var t texts
	defer t.free()
	return n.call("remove key", func(node *C.tribe_node, e **C.tribe_error) C.tribe_status {
		return C.tribe_key_remove(node, t.str(id), C.bool(force), nil, e)
	})
}

// RotateKey exchanges the key of the cluster for a new one, and gives the fingerprint of that. It is used once
// all members hold it, and the old one removed once all seal with it. If this was broken off, here or elsewhere,
// it goes on from there. With force it does so without members that are down: they are handed the key when they
// come back.
func (n *Node) RotateKey(force bool) (string, error) {
	var id *C.tribe_text
	err := n.call("rotate key", func(node *C.tribe_node, e **C.tribe_error) C.tribe_status {
		return C.tribe_key_rotate(node, C.bool(force), &id, e)
	})
	if err != nil {
		return "", err
	}
	return string(document(id)), nil
}
