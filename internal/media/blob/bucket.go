package blob

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Limits of requests to the S3 service.
const (
	// attempts is how often a request is sent before its error counts.
	attempts = 3
	dialTime = 5 * time.Second
	// stallTime is how long a connection may be silent while data is due.
	stallTime = 30 * time.Second
	// askTime bounds requests without content, with all their attempts.
	askTime = 20 * time.Second
	// maxObjectBytes is the most that the protocol allows in one request; in one
	// request an object is stored whole or not at all.
	maxObjectBytes = 5 << 30
)

// BucketOptions names a bucket and says how to get there.
type BucketOptions struct {
	// Endpoint is the URL of the service, without a path.
	Endpoint string
	Region   string
	Bucket   string
	// Prefix begins the keys of all objects, such as "media/".
	Prefix string
	// PathStyle has the bucket named in the path of URLs; else it is a part of the host.
	PathStyle            bool
	AccessKey, SecretKey string
	// LocalDir is a folder of this machine for files that are being received; it is
	// made if need be.
	LocalDir string
}

// Bucket stores objects in a bucket of an S3 service.
type Bucket struct {
	client minio.Core
	bucket string
	prefix string
	local  *Folder
}

// NewBucket makes the local folder. It sends no request: the service may be away at
// the moment.
func NewBucket(o BucketOptions) (*Bucket, error) {
	endpoint, err := url.Parse(o.Endpoint)
	if err != nil {
		return nil, errors.New("the endpoint of the S3 service is no URL")
	}
	lookup := minio.BucketLookupDNS
	if o.PathStyle {
		lookup = minio.BucketLookupPath
	}
	client, err := minio.NewCore(endpoint.Host, &minio.Options{
		Creds:        credentials.NewStaticV4(o.AccessKey, o.SecretKey, ""),
		Secure:       endpoint.Scheme == "https",
		Region:       o.Region,
		BucketLookup: lookup,
		MaxRetries:   attempts,
		Transport:    newTransport(),
	})
	if err != nil {
		return nil, fmt.Errorf("set up the S3 service: %w", err)
	}
	local, err := OpenFolder(o.LocalDir)
	if err != nil {
		return nil, err
	}
	return &Bucket{client: *client, bucket: o.Bucket, prefix: o.Prefix, local: local}, nil
}

// Scratch returns an empty local file to write to, and then to Put. The caller closes
// it. If the system allows that, it has no name any more and is gone with the process.
func (b *Bucket) Scratch() (*os.File, error) {
	file, err := b.local.Scratch()
	if err != nil {
		return nil, err
	}
	// If an open file keeps its name, its user and Clean remove it.
	_ = os.Remove(file.Name())
	return file, nil
}

// Put sends the content of a file to the service, and replaces an object that is there.
// The service checks the hash, the SHA-256 of the content.
func (b *Bucket) Put(ctx context.Context, key string, content *os.File, hash [32]byte) error {
	size, err := content.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if size > maxObjectBytes {
		return fmt.Errorf("the S3 protocol takes %d bytes in one request, not %d", int64(maxObjectBytes), size)
	}
	_, err = b.client.PutObject(ctx, b.bucket, b.prefix+key, io.NewSectionReader(content, 0, size), size,
		"", hex.EncodeToString(hash[:]), minio.PutObjectOptions{DisableContentSha256: true})
	return named("store", key, err)
}

// Open returns an object; an error that is fs.ErrNotExist if there is none. The content
// is requested when it is read, which works while the context lasts.
func (b *Bucket) Open(ctx context.Context, key string) (Object, error) {
	asking, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	info, err := b.client.StatObject(asking, b.bucket, b.prefix+key, minio.StatObjectOptions{})
	if err != nil {
		return nil, named("look for", key, err)
	}
	from := source{ctx: ctx, bucket: b, key: key, size: info.Size}
	return &object{stream: stream{source: from}, at: stream{source: from}}, nil
}

// Remove removes an object, if there is one.
func (b *Bucket) Remove(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	err := named("remove", key, b.client.RemoveObject(ctx, b.bucket, b.prefix+key, minio.RemoveObjectOptions{}))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Walk calls visit for each object whose key begins with the prefix, in the order of
// keys, with its size in bytes. It ends at the first error.
func (b *Bucket) Walk(ctx context.Context, prefix string, visit func(key string, bytes int64) error) error {
	list := minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true}
	for info := range b.client.ListObjectsIter(ctx, b.bucket, list) {
		if info.Err != nil {
			return named("list", prefix, info.Err)
		}
		if err := visit(info.Key[len(b.prefix):], info.Size); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Clean removes local scratch files that have kept their names for so long. Nothing
// half done is ever in the bucket, and so Clean only asks whether the bucket can be
// reached with these keys.
func (b *Bucket) Clean(ctx context.Context, age time.Duration) (removed int, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	there, err := b.client.BucketExists(ctx, b.bucket)
	if err == nil && !there {
		err = errors.New("there is no such bucket")
	}
	if err != nil {
		return 0, fmt.Errorf("reach the bucket %s: %w", b.bucket, err)
	}
	return b.local.Clean(ctx, age)
}

// named adds to an error what was attempted. For a missing object it is fs.ErrNotExist.
func named(what, key string, err error) error {
	if err == nil {
		return nil
	}
	if answer := minio.ToErrorResponse(err); answer.Code == minio.NoSuchKey {
		return fmt.Errorf("%s %s in the bucket: %w", what, key, fs.ErrNotExist)
	}
	return fmt.Errorf("%s %s in the bucket: %w", what, key, err)
}

// newTransport makes the HTTP transport to the service. It has no bound for a whole
// request, since large files need long, but one for each of its steps.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialPatiently,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: stallTime,
		ExpectContinueTimeout: time.Second,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       stallTime,
		DisableCompression:    true, // content comes as it is stored
	}
}
