-- migrate:up
-- migrate:lock-timeout 500ms
CREATE VIEW newest_users AS SELECT id, email FROM users ORDER BY id DESC;

-- migrate:down
DROP VIEW newest_users;
