// An S3-compatible server for tests: gofakes3, which verifies no signatures, behind a check of them that signs the
// request again by Amazon's own signer and compares. Objects are in memory; reading them needs no signature.
//
//	siem-s3 ADDRESS BUCKET REGION ACCESS-KEY SECRET-KEY
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

func main() {
	address, bucket, region := os.Args[1], os.Args[2], os.Args[3]
	key := aws.Credentials{AccessKeyID: os.Args[4], SecretAccessKey: os.Args[5]}
	store := s3mem.New()
	if err := store.CreateBucket(bucket); err != nil {
		log.Fatal(err)
	}
	server := gofakes3.New(store).Server()
	log.Fatal(http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			body, err := io.ReadAll(r.Body)
			if err != nil || !signed(r, body, key, region) {
				http.Error(w, "SignatureDoesNotMatch", http.StatusForbidden)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			log.Printf("%s %s %d bytes", r.Method, r.URL.Path, len(body))
		}
		server.ServeHTTP(w, r)
	})))
}

func signed(r *http.Request, body []byte, key aws.Credentials, region string) bool {
	given := r.Header.Get("Authorization")
	_, rest, found := strings.Cut(given, "SignedHeaders=")
	names, _, _ := strings.Cut(rest, ",")
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if !found || err != nil || time.Since(at).Abs() > 5*time.Minute {
		return false
	}
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:])
	if r.Header.Get("X-Amz-Content-Sha256") != digest {
		return false
	}
	again := &http.Request{Method: r.Method, URL: r.URL, Host: r.Host, Header: http.Header{}}
	again.URL.Host = r.Host
	for _, name := range strings.Split(names, ";") {
		if values := r.Header.Values(name); name != "host" && len(values) > 0 {
			again.Header[http.CanonicalHeaderKey(name)] = values
		}
		if name == "content-length" {
			again.ContentLength = r.ContentLength
			again.Header.Del("Content-Length")
		}
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err := signer.SignHTTP(context.Background(), key, again, digest, "s3", region, at); err != nil {
		return false
	}
	return again.Header.Get("Authorization") == strings.ReplaceAll(given, ",Signed", ", Signed")
}
