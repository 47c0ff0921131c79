ALTER TABLE users ADD COLUMN preferences json DEFAULT '{}';
