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
	"strings"
	"time"
)

// cachePause bounds how often the cache is written.
const cachePause = time.Second

// cacheRetry is the pause after a write that failed.
const cacheRetry = 30 * time.Second

// keepCache writes the cache after changes until ctx ends, and once more then.
func (c *Client) keepCache(ctx context.Context) {
	sweepCache(c.options.Cache)
	for {
		select {
		case <-c.dirty:
		case <-ctx.Done():
			select {
			case <-c.dirty:
				_ = c.saveCache() // it has been reported
			default:
			}
			return
		}
		pause := cachePause
		if !c.saveCache() {
			pause = cacheRetry
			select { // the next change may be long in coming
			case c.dirty <- struct{}{}:
			default:
			}
		}
		sleep(ctx, pause)
	}
}

// saveCache writes the cache, or reports why not.
func (c *Client) saveCache() bool {
	err := writeCache(c.options.Cache, c.Document())
	if err != nil {
		c.report(err)
	}
	return err == nil
}

// sweepCache removes what a process has left behind that was killed while it wrote. What is
// young may be another's who is just writing.
func sweepCache(path string) {
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"+cacheTemp))
	if err != nil {
		return
	}
	for _, name := range left {
		info, err := os.Lstat(name)
		if err == nil && strings.HasPrefix(filepath.Base(name), filepath.Base(path)+".") && time.Since(info.ModTime()) > time.Minute {
			_ = os.Remove(name) // next time, then
		}
	}
}

// cacheTemp is how the names of files end that are being written.
const cacheTemp = ".flags-tmp"

func readCache(path string) (Document, error) {
	in, err := os.Open(path)
	if err != nil {
		return Document{}, fmt.Errorf("flags: cache: %w", err)
	}
	text, err := readBounded(in, documentLimit)
	if err = errors.Join(err, in.Close()); err != nil {
		return Document{}, fmt.Errorf("flags: cache %s: %w", path, err)
	}
	doc, err := ParseDocument(text)
	if err != nil {
		return Document{}, fmt.Errorf("%w in the cache %s: it will be written anew", err, path)
	}
	return doc, nil
}

// writeCache replaces the file wholly or not at all, so that two processes that
// share it by mistake harm nothing: the last one's flags are in it. Nobody else may read it.
func writeCache(path string, doc Document) error {
	text, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("flags: cache: %w", err)
	}
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*"+cacheTemp)
	if err != nil {
		return fmt.Errorf("flags: cache: %w: the directory must be there, and be writable", err)
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
