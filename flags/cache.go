// Copyright The rheostat Authors
// SPDX-License-Identifier: Apache-2.0

package flags

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// cachePause bounds how often the cache is written.
const cachePause = time.Second

// keepCache writes the cache after changes until ctx ends, and once more then.
func (c *Client) keepCache(ctx context.Context) {
	for {
		select {
		case <-c.dirty:
			if err := writeCache(c.options.Cache, c.Document()); err != nil {
				c.report(err)
			}
		case <-ctx.Done():
			select {
			case <-c.dirty:
				if err := writeCache(c.options.Cache, c.Document()); err != nil {
					c.report(err)
				}
			default:
			}
			return
		}
		sleep(ctx, cachePause)
	}
}

func readCache(path string) (Document, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Document{}, err
	}
	doc, err := ParseDocument(text)
	if err != nil {
		return Document{}, fmt.Errorf("%w in the cache %s: it will be written anew", err, path)
	}
	return doc, nil
}

// writeCache replaces the file wholly or not at all.
func writeCache(path string, doc Document) error {
	text, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("flags: cache: %w", err)
	}
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("flags: cache: %w", err)
	}
	_, err = temp.Write(text)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("flags: cache: %w", errors.Join(err, os.Remove(temp.Name())))
	}
	return nil
}
