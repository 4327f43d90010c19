package config

import (
	"net/url"
	"path/filepath"
	"regexp"
)

// S3 is the bucket of an S3 service for files.
type S3 struct {
	// Endpoint is the URL of the service, without the bucket.
	Endpoint string `yaml:"endpoint"`
	// Region is the region that requests are signed for.
	Region string `yaml:"region"`
	// Bucket must be there already.
	Bucket string `yaml:"bucket"`
	// Prefix begins the keys of all objects; empty: none.
	Prefix string `yaml:"prefix"`
	// PathStyle has the bucket named in the path and not in the host of URLs.
	PathStyle bool `yaml:"path_style"`
	// AccessKey names the account.
	AccessKey string `yaml:"access_key"`
	// SecretKey goes with AccessKey.
	SecretKey Secret `yaml:"secret_key"`
}

// MediaDir returns the local folder for files: where they are stored, or, if an S3 service
// stores them, where they are received.
func (c *Config) MediaDir() string {
	if c.Media.Storage == "folder" && c.Media.Folder != "" {
		return c.Media.Folder
	}
	return filepath.Join(c.DataDir, "media")
}

// maxS3Upload is the most that the S3 protocol allows in one request.
const maxS3Upload = Size(5 << 30)

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	keyPrefix  = regexp.MustCompile(`^([A-Za-z0-9_.-]+/)*$`)
)

func (v *validator) mediaStorage(m Media) {
	if m.Storage != "s3" {
		return
	}
	v.check(isServiceURL(m.S3.Endpoint), "media.s3.endpoint", "must be an http or https URL without a path, such as https://s3.example.org")
	v.check(m.S3.Region != "", "media.s3.region", "must be the region of the service, or us-east-1 where it knows none")
	v.check(bucketName.MatchString(m.S3.Bucket), "media.s3.bucket",
		"must be the name of a bucket: 3 to 63 lower-case letters, digits, dots and hyphens")
	v.check(keyPrefix.MatchString(m.S3.Prefix), "media.s3.prefix", "must be empty, or end with a slash, such as matrix/")
	v.check(m.S3.AccessKey != "", "media.s3.access_key", "must be set for the storage s3")
	v.check(m.S3.SecretKey != "", "media.s3.secret_key", "must be set for the storage s3")
	v.check(m.MaxUpload <= maxS3Upload, "media.max_upload", "must be %s at most with the storage s3", maxS3Upload)
}

func isServiceURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && isBaseURL(s) && (u.Path == "" || u.Path == "/")
}
