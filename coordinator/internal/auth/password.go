package auth

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// passwords is a file as htpasswd writes it. It is read at each use: it is small,
// and changes take effect at once.
type passwords struct{ file string }

func (p *passwords) read() (map[string]string, error) {
	data, err := os.ReadFile(p.file)
	if err != nil {
		return nil, fmt.Errorf("password file: %w", err)
	}
	hashes := make(map[string]string)
	for line := range strings.Lines(string(data)) {
		user, hash, ok := strings.Cut(strings.TrimSpace(line), ":")
		if ok && !strings.HasPrefix(user, "#") {
			hashes[user] = hash
		}
	}
	return hashes, nil
}

// missing is checked for users who do not exist, so that the time of an answer
// does not tell which do.
const missing = "$2a$10$7EqJtq98hPqEX7fNZaFWoOhi5aWTAAAAAAAAAAAAAAAAAAAAAAAAA"

var (
	errPassword = errors.New("wrong user or password")
	errFormat   = errors.New("the hash in the password file is of an unknown kind: use htpasswd -B")
)

func (p *passwords) check(user, password string) error {
	hashes, err := p.read()
	if err != nil {
		return err
	}
	hash, known := hashes[user]
	if !known {
		hash = missing
	}
	if err := compare(hash, password); err != nil {
		return err
	}
	if !known {
		return errPassword
	}
	return nil
}

func compare(hash, password string) error {
	switch {
	case strings.HasPrefix(hash, "$2"):
		// htpasswd writes $2y$, which is what others call $2b$.
		if bcrypt.CompareHashAndPassword([]byte(strings.Replace(hash, "$2y$", "$2b$", 1)), []byte(password)) != nil {
			return errPassword
		}
		return nil
	case strings.HasPrefix(hash, "$apr1$"):
		salt, _, _ := strings.Cut(strings.TrimPrefix(hash, "$apr1$"), "$")
		return equal(hash, apr1(password, salt))
	case strings.HasPrefix(hash, "{SHA}"):
		sum := sha1.Sum([]byte(password))
		return equal(hash, "{SHA}"+base64.StdEncoding.EncodeToString(sum[:]))
	}
	return errFormat
}

func equal(a, b string) error {
	if subtle.ConstantTimeCompare([]byte(a), []byte(b)) != 1 {
		return errPassword
	}
	return nil
}

// apr1 is Apache's variant of the MD5 crypt of FreeBSD: a thousand rounds that
// mix password and salt in an order that depends on the round.
func apr1(password, salt string) string {
	const magic = "$apr1$"
	salt = salt[:min(len(salt), 8)]
	alternate := md5.Sum([]byte(password + salt + password))
	text := []byte(password + magic + salt)
	for left := len(password); left > 0; left -= len(alternate) {
		text = append(text, alternate[:min(left, len(alternate))]...)
	}
	for bits := len(password); bits > 0; bits >>= 1 {
		if bits&1 == 1 {
			text = append(text, 0)
		} else {
			text = append(text, password[0])
		}
	}
	sum := md5.Sum(text)
	for round := range 1000 {
		sum = md5.Sum(apr1Round(round, password, salt, sum[:]))
	}
	return magic + salt + "$" + apr1Text(sum)
}

func apr1Round(round int, password, salt string, sum []byte) []byte {
	first, last := sum, []byte(password)
	if round&1 == 1 {
		first, last = last, first
	}
	text := append([]byte{}, first...)
	if round%3 != 0 {
		text = append(text, salt...)
	}
	if round%7 != 0 {
		text = append(text, password...)
	}
	return append(text, last...)
}

// apr1Text writes a sum in the alphabet and the order of bytes of crypt(3).
func apr1Text(sum [md5.Size]byte) string {
	const alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	var text []byte
	put := func(value uint, characters int) {
		for range characters {
			text = append(text, alphabet[value&0x3f])
			value >>= 6
		}
	}
	for _, i := range [][3]int{{0, 6, 12}, {1, 7, 13}, {2, 8, 14}, {3, 9, 15}, {4, 10, 5}} {
		put(uint(sum[i[0]])<<16|uint(sum[i[1]])<<8|uint(sum[i[2]]), 4)
	}
	put(uint(sum[11]), 2)
	return string(text)
}
