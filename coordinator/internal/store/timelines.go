package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"kadeploy/coordinator/internal/workflow"
)

const (
	// timelinesKept is how long the story of an operation is kept.
	timelinesKept = 30 * 24 * time.Hour
	// maxStory bounds what one story is unpacked to: far above what 10,000 nodes make.
	maxStory = 512 << 20
)

// Keep stores the story of an operation that is over, in the place of an earlier
// one with its ID, and drops those that are too old.
func (s *Store) Keep(ctx context.Context, story *workflow.Story) error {
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed) // the level is a valid one
	if err := errors.Join(json.NewEncoder(z).Encode(story), z.Close()); err != nil {
		return fmt.Errorf("encode the timeline of %s: %w", story.ID, err)
	}
	now := s.now()
	err := s.update(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO timelines (wid, ended, story) VALUES (?, ?, ?)", story.ID, now.Unix(), packed.Bytes())
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM timelines WHERE ended < ?", now.Add(-timelinesKept).Unix())
		return err
	})
	if err != nil {
		return fmt.Errorf("store the timeline of %s: %w", story.ID, err)
	}
	return nil
}

// Story finds the story of an operation; nil if none is kept.
func (s *Store) Story(ctx context.Context, id string) (*workflow.Story, error) {
	var packed []byte
	err := s.view(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT story FROM timelines WHERE wid = ?", id).Scan(&packed)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the timeline of %s: %w", id, err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpack the timeline of %s: %w", id, err)
	}
	story := &workflow.Story{}
	if err := json.NewDecoder(io.LimitReader(z, maxStory)).Decode(story); err != nil {
		return nil, fmt.Errorf("decode the timeline of %s: %w", id, err)
	}
	return story, nil
}
