package assembly

import "slices"

// Bucket is an AWS::S3::Bucket.
type Bucket struct {
	// Name is the physical name that the template asks for; empty: any.
	Name      string
	Versioned bool
}

func decodeBucket(o *object) *Bucket {
	o.ignore(noEncryption, "BucketEncryption")
	o.ignore(noPermissions, "OwnershipControls", "PublicAccessBlockConfiguration")
	o.ignore(noLifecycle, "LifecycleConfiguration")
	o.ignore("the laptop's store writes no access logs", "LoggingConfiguration")
	o.ignore(noAlarms, "NotificationConfiguration")
	o.ignore(noTags, "Tags")
	return &Bucket{
		Name:      o.text("BucketName"),
		Versioned: o.part("VersioningConfiguration").oneOf("Status", "Suspended", "Enabled") == "Enabled",
	}
}

// Table is an AWS::DynamoDB::GlobalTable with one replica and on-demand capacity.
type Table struct {
	// Name is the physical name that the template asks for; empty: any.
	Name string
	// AttributeTypes are S, N or B by name, for the attributes that are keys of the table or an
	// index.
	AttributeTypes map[string]string
	Key            TableKey
	Indexes        []TableIndex
}

// TableKey is the primary key of a table or an index. SortKey may be empty.
type TableKey struct {
	PartitionKey, SortKey string
}

// TableIndex is a global secondary index.
type TableIndex struct {
	Name string
	Key  TableKey
	// Projection is KEYS_ONLY, INCLUDE or ALL; NonKeyAttributes those that INCLUDE adds.
	Projection       string
	NonKeyAttributes []string
}

func decodeTable(o *object) *Table {
	o.need("AttributeDefinitions", "KeySchema", "BillingMode", "Replicas")
	o.ignore(noEncryption, "SSESpecification")
	o.ignore("the laptop's tables never remove an item; AWS does so within days, so that readers look at its time "+
		"anyway", "TimeToLiveSpecification")
	o.oneOf("BillingMode", "PAY_PER_REQUEST")
	table := &Table{Name: o.text("TableName"), AttributeTypes: map[string]string{}}
	for _, attribute := range o.objects("AttributeDefinitions") {
		attribute.need("AttributeName", "AttributeType")
		table.AttributeTypes[attribute.text("AttributeName")] = attribute.oneOf("AttributeType", "S", "N", "B")
	}
	table.Key = decodeKey(o, table.AttributeTypes)
	for _, index := range o.objects("GlobalSecondaryIndexes") {
		index.need("IndexName", "KeySchema", "Projection")
		projection := index.part("Projection")
		table.Indexes = append(table.Indexes, TableIndex{
			Name:             index.text("IndexName"),
			Key:              decodeKey(index, table.AttributeTypes),
			Projection:       projection.oneOf("ProjectionType", "KEYS_ONLY", "INCLUDE", "ALL"),
			NonKeyAttributes: projection.texts("NonKeyAttributes"),
		})
	}
	replicas := o.objects("Replicas")
	if len(replicas) != 1 {
		o.refuse("Replicas", "one replica, in the stack's own region")
	}
	for _, replica := range replicas {
		replica.ignore("a laptop deletes its run's data as a whole", "DeletionProtectionEnabled")
		replica.ignore("a laptop keeps no backups", "PointInTimeRecoverySpecification")
		replica.ignore(noMetrics, "ContributorInsightsSpecification")
		replica.ignore(noTags, "Tags")
		if region := replica.text("Region"); region != o.environment.Region {
			replica.refuse("Region", "the stack's own region, "+o.environment.Region)
		}
		for _, index := range replica.objects("GlobalSecondaryIndexes") {
			name := index.text("IndexName")
			index.ignore(noMetrics, "ContributorInsightsSpecification")
			if !slices.ContainsFunc(table.Indexes, func(known TableIndex) bool { return known.Name == name }) {
				index.refuse("IndexName", "an index of the table")
			}
		}
	}
	return table
}

func decodeKey(o *object, types map[string]string) (key TableKey) {
	for _, element := range o.objects("KeySchema") {
		element.need("AttributeName", "KeyType")
		name := element.text("AttributeName")
		if _, ok := types[name]; !ok && name != "" {
			element.refuse("AttributeName", "an attribute of AttributeDefinitions")
		}
		if element.oneOf("KeyType", "HASH", "RANGE") == "HASH" {
			key.PartitionKey = name
		} else {
			key.SortKey = name
		}
	}
	if key.PartitionKey == "" {
		o.refuse("KeySchema", "a key of type HASH")
	}
	return key
}

// Database is an AWS::RDS::DBInstance whose administrator's password RDS keeps in a secret of its
// own: the attribute MasterUserSecret.SecretArn.
type Database struct {
	// Engine is RDS's name of one, such as postgres.
	Engine string
	// Identifier is the instance's name that the template asks for; empty: any.
	Identifier string
	// Name is the database that is created with the instance; empty: none.
	Name string
	// MasterUser is the administrator.
	MasterUser string
}

func decodeDatabase(o *object) *Database {
	o.need("Engine", "MasterUsername", "ManageMasterUserPassword")
	o.ignore(ownServer, "CACertificateIdentifier", "DBParameterGroupName", "OptionGroupName")
	o.ignore("the laptop's database server has the version that is installed", "AllowMajorVersionUpgrade",
		"AutoMinorVersionUpgrade", "EngineLifecycleSupport", "EngineVersion")
	o.ignore("the laptop's servers listen on ports that are free", "Port")
	o.ignore("a laptop has no IAM: a user who logs in by it gets a password, in a secret",
		"EnableIAMDatabaseAuthentication")
	o.ignore("the laptop's own processor, memory and disk serve", "AllocatedStorage", "DBInstanceClass", "Iops",
		"MaxAllocatedStorage", "MultiAZ", "StorageThroughput", "StorageType")
	o.ignore("a laptop keeps no backups", "BackupRetentionPeriod", "CopyTagsToSnapshot", "DeleteAutomatedBackups",
		"PreferredBackupWindow")
	o.ignore("a laptop maintains itself", "PreferredMaintenanceWindow")
	o.ignore("a laptop deletes its run's data as a whole", "DeletionProtection")
	o.ignore(noNetwork, "DBSubnetGroupName", "PubliclyAccessible", "VPCSecurityGroups")
	o.ignore(noEncryption, "KmsKeyId", "StorageEncrypted")
	o.ignore(noLogService, "EnableCloudwatchLogsExports")
	o.ignore(noMetrics, "DatabaseInsightsMode", "EnablePerformanceInsights", "MonitoringInterval", "MonitoringRoleArn",
		"PerformanceInsightsRetentionPeriod")
	o.ignore(noTags, "Tags")
	if !o.boolean("ManageMasterUserPassword", false) {
		o.refuse("ManageMasterUserPassword", "true: no password stands in a template")
	}
	return &Database{Engine: o.text("Engine"), Identifier: o.text("DBInstanceIdentifier"), Name: o.text("DBName"),
		MasterUser: o.text("MasterUsername")}
}

// Secret is an AWS::SecretsManager::Secret whose value is generated.
type Secret struct {
	// Name is the physical name that the template asks for; empty: any.
	Name string
	// Template is a JSON object, to which the generated password is added under Key; both are empty
	// where the password is the whole secret.
	Template, Key string
	// Length is the password's, in characters.
	Length int
	// Without lists the characters that it never has.
	Without string
	// WithoutPunctuation, -Lowercase, -Uppercase and -Digits leave whole kinds of characters out.
	WithoutPunctuation, WithoutLowercase, WithoutUppercase, WithoutDigits bool
	// WithSpace allows the space.
	WithSpace bool
	// EachKind requires one character of every kind that is not left out.
	EachKind bool
}

// decodeSecret takes limits and defaults from the API reference of Secrets Manager
// (GetRandomPassword).
func decodeSecret(o *object) *Secret {
	o.need("GenerateSecretString")
	o.ignore(noEncryption, "KmsKeyId")
	o.ignore(noTags, "Tags")
	o.ignore("told to people only", "Description")
	generated := o.part("GenerateSecretString")
	secret := &Secret{
		Name:               o.text("Name"),
		Template:           generated.text("SecretStringTemplate"),
		Key:                generated.text("GenerateStringKey"),
		Length:             generated.integer("PasswordLength", 32, 1, 4096),
		Without:            generated.text("ExcludeCharacters"),
		WithoutPunctuation: generated.boolean("ExcludePunctuation", false),
		WithoutLowercase:   generated.boolean("ExcludeLowercase", false),
		WithoutUppercase:   generated.boolean("ExcludeUppercase", false),
		WithoutDigits:      generated.boolean("ExcludeNumbers", false),
		WithSpace:          generated.boolean("IncludeSpace", false),
		EachKind:           generated.boolean("RequireEachIncludedType", true),
	}
	if (secret.Template == "") != (secret.Key == "") {
		generated.refuse("GenerateStringKey", "both SecretStringTemplate and GenerateStringKey, or neither")
	}
	return secret
}
