//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// install brings what the end-to-end tests need and the machine has not: the
// npm packages of test/e2e, the clients in Java and Python where there is Maven
// and Python, and Debian's chromium and python3-autobahn. What cannot be had is
// no failure here: the tests that need it skip and say so.
func install(ctx context.Context, r *result, dir string) {
	if missing := debianPackages(); len(missing) > 0 {
		apt(ctx, missing)
	}
	maven(ctx, filepath.Join(dir, "java"))
	venv(ctx, filepath.Join(dir, "python"))
	npm(ctx, r, dir)
}

// maven copies the jars of a pom to target/lib.
func maven(ctx context.Context, dir string) {
	if _, err := exec.LookPath("mvn"); err != nil || current(filepath.Join(dir, "target", "lib"), filepath.Join(dir, "pom.xml")) {
		return
	}
	target := filepath.Join(dir, "target")
	_ = os.RemoveAll(target)
	obtain(ctx, ".", target, "mvn", "-q", "-B", "-f", filepath.Join(dir, "pom.xml"), "dependency:copy-dependencies")
}

// venv makes a virtual environment of requirements.txt.
func venv(ctx context.Context, dir string) {
	home := filepath.Join(dir, ".venv")
	if current(home, filepath.Join(dir, "requirements.txt")) {
		return
	}
	_ = os.RemoveAll(home)
	// Debian's Python may have no pip for it; then another may.
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import venv, ensurepip").Run() != nil {
			continue
		}
		if obtain(ctx, ".", home, python, "-m", "venv", home) {
			obtain(ctx, dir, home, filepath.Join(".venv", "bin", "pip"), "install", "-q", "--disable-pip-version-check", "-r", "requirements.txt")
		}
		return
	}
	fmt.Println("   no virtual environment in " + dir + ": there is no python3 with venv and ensurepip")
}

// current reports whether what was made of a file is no older than it.
func current(made, of string) bool {
	have, err := os.Stat(made)
	want, err2 := os.Stat(of)
	return err == nil && err2 == nil && !have.ModTime().Before(want.ModTime())
}

// obtain runs a command that makes a folder, for at most five minutes. If it
// fails, it says so and removes the folder.
func obtain(ctx context.Context, dir, made, name string, args ...string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	fmt.Printf("   %s %s\n", name, strings.Join(args, " "))
	out, err := command(ctx, dir, name, args...).CombinedOutput()
	if err != nil {
		fmt.Printf("   %s: %v\n%s", name, err, out)
		_ = os.RemoveAll(made)
	}
	return err == nil
}

func npm(ctx context.Context, r *result, dir string) {
	if _, err := exec.LookPath("npm"); err != nil {
		return
	}
	// npm notes what it installed; it is current when no older than the lock.
	want, err := os.Stat(filepath.Join(dir, "package-lock.json"))
	have, err2 := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json"))
	if err == nil && err2 == nil && !have.ModTime().Before(want.ModTime()) {
		return
	}
	fmt.Println("   npm ci in " + dir)
	out, err := command(ctx, dir, "npm", "ci", "--no-audit", "--no-fund").CombinedOutput()
	if err != nil {
		r.fail("npm ci", fmt.Sprintf("%v\n%s", err, out))
	}
}

func debianPackages() (missing []string) {
	has := func(names ...string) bool {
		for _, n := range names {
			if _, err := exec.LookPath(n); err == nil {
				return true
			}
		}
		return false
	}
	if !has("redis-server") {
		missing = append(missing, "redis-server")
	}
	if os.Getenv("CHROMIUM") == "" && !has("chromium", "chromium-browser", "google-chrome") {
		missing = append(missing, "chromium")
	}
	// Debian's module lies with Debian's Python, which need not be the first one.
	if exec.Command("/usr/bin/python3", "-c", "import autobahn").Run() != nil {
		missing = append(missing, "python3-autobahn")
	}
	return missing
}

func apt(ctx context.Context, packages []string) {
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		fmt.Printf("   not installed: %v (that wants Debian and root)\n", packages)
		return
	}
	fmt.Printf("   apt-get install %v\n", packages)
	for _, args := range [][]string{{"update"}, append([]string{"install", "-y", "--no-install-recommends"}, packages...)} {
		cmd := command(ctx, ".", "apt-get", args...)
		cmd.Env = append(cmd.Env, "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Printf("   apt-get %v: %v\n%s", args, err, out)
		}
	}
}
