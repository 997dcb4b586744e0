-- Counts 1 on a server that checks IAM tokens.
SELECT count(*) FROM information_schema.plugins
WHERE plugin_name = 'AWSAuthenticationPlugin' AND plugin_status = 'ACTIVE';
