-- A change may be more than a version that went live.
ALTER TABLE deploys ADD COLUMN kind TEXT NOT NULL DEFAULT 'deploy';
-- Who told, and the sender's own name for it.
ALTER TABLE deploys ADD COLUMN source TEXT NOT NULL DEFAULT '';
ALTER TABLE deploys ADD COLUMN change_id TEXT NOT NULL DEFAULT '';
-- A JSON list.
ALTER TABLE deploys ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
ALTER TABLE deploys ADD COLUMN until_ms INTEGER;
