// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package strategy

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"
)

// TestDetachedStatesShareNothing fills every slice, map and pointer that a State
// can reach, so that a field added later is not forgotten in the copy.
func TestDetachedStatesShareNothing(t *testing.T) {
	t.Parallel()
	var s State
	fill(reflect.ValueOf(&s).Elem())
	c := s.Clone()
	if !reflect.DeepEqual(s, c) {
		t.Fatalf("the copy differs:\n%+v\n%+v", s, c)
	}
	shared(t, "State", reflect.ValueOf(s), reflect.ValueOf(c))
}

// unwritable types hold pointers that nobody can write through.
var unwritable = map[reflect.Type]bool{reflect.TypeFor[time.Time](): true, reflect.TypeFor[Frozen](): true}

func fill(v reflect.Value) {
	if unwritable[v.Type()] {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(field)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 3))
		fill(v.Index(0))
		fill(v.Index(1))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	default:
	}
}

func shared(t *testing.T, path string, a, b reflect.Value) {
	t.Helper()
	if unwritable[a.Type()] {
		return
	}
	switch a.Kind() {
	case reflect.Struct:
		for i := range a.NumField() {
			shared(t, path+"."+a.Type().Field(i).Name, a.Field(i), b.Field(i))
		}
	case reflect.Array:
		for i := range a.Len() {
			shared(t, path, a.Index(i), b.Index(i))
		}
	case reflect.Slice:
		if a.Pointer() == b.Pointer() {
			t.Errorf("%s: the copy shares its elements", path)
		}
		for i := range a.Len() {
			shared(t, path, a.Index(i), b.Index(i))
		}
	case reflect.Map, reflect.Pointer, reflect.Chan, reflect.Func, reflect.Interface, reflect.UnsafePointer:
		if a.Pointer() == b.Pointer() {
			t.Errorf("%s: the copy shares it", path)
		}
		if a.Kind() == reflect.Map {
			for _, key := range a.MapKeys() {
				shared(t, path, a.MapIndex(key), b.MapIndex(key))
			}
		}
	default:
	}
}

func TestMemoryJournalKeepsTheLatestTransitions(t *testing.T) {
	t.Parallel()
	var m MemoryStore
	if got := m.Journal("web"); got != nil {
		t.Fatalf("journal of a service that was never saved: %v, want none", got)
	}
	const saves = memoryJournal + 10
	for rev := uint64(1); rev <= saves; rev++ {
		if err := m.Save(t.Context(), "web", rev-1, State{Rev: rev}, Transition{Rev: rev, Kind: Ordered}); err != nil {
			t.Fatal(err)
		}
	}
	got := m.Journal("web")
	if len(got) != memoryJournal || got[0].Rev != saves-memoryJournal+1 || got[len(got)-1].Rev != saves {
		t.Fatalf("journal of %d from rev %d to %d, want the latest %d", len(got), got[0].Rev, got[len(got)-1].Rev, memoryJournal)
	}
	got[0].Rev = 0
	if m.Journal("web")[0].Rev == 0 {
		t.Error("writing to a journal that was returned changed the store's")
	}
}

func TestSavesMustRaiseTheRev(t *testing.T) {
	t.Parallel()
	var m MemoryStore
	if err := m.Save(t.Context(), "web", 0, State{}); err == nil || errors.Is(err, ErrConflict) {
		t.Errorf("saving rev 0 after 0: %v, want an error that is not a conflict", err)
	}
	if err := m.Save(t.Context(), "web", 3, State{Rev: 3}); err == nil || errors.Is(err, ErrConflict) {
		t.Errorf("saving rev 3 after 3: %v, want an error that is not a conflict", err)
	}
}

func TestListingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	var m MemoryStore
	for _, service := range []string{"a", "b", "c"} {
		if err := m.Save(t.Context(), service, 0, State{Rev: 1}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	defer cancel(nil)
	var names []string
	var last error
	for name, err := range m.List(ctx) {
		if last = err; err == nil {
			names = append(names, name)
		}
		cancel(why)
	}
	if len(names) != 1 || !errors.Is(last, why) {
		t.Errorf("listed %v and then %v, want one name and the cause", names, last)
	}
}
