# Runs in the Windows guest, as often as wanted: installs what `winserve setup vagrant` has made, a
# Python with this package, the servers and nginx, into C:\winserve. Nothing is downloaded here.
$ErrorActionPreference = "Stop"
$ProgressPreference = "SilentlyContinue"

$new = "C:\winserve-new"
if (Test-Path "$new\guest") { $new = "$new\guest" }
$target = "C:\winserve"
$archive = Join-Path $new "python.zip"
$wanted = (Get-Content (Join-Path $new "python.zip.sha256") -TotalCount 1).Trim()

$found = (Get-FileHash $archive -Algorithm SHA256).Hash.ToLower()
if ($found -ne $wanted) {
    throw "python.zip has the digest $found, but $wanted is wanted: run winserve setup vagrant again"
}

$stamp = Join-Path $target "digest.txt"
if ((Test-Path $stamp) -and ((Get-Content $stamp -TotalCount 1).Trim() -eq $wanted)) {
    Write-Output "kept: $target"
}
else {
    if (Test-Path $target) { Remove-Item $target -Recurse -Force }
    Expand-Archive $archive -DestinationPath $target
    & "$target\python\python.exe" -c "from pytest_winserve.cli import main; main()" doctor
    if ($LASTEXITCODE -ne 0) { throw "the Python in $target does not run this package" }
    Set-Content $stamp $wanted
    Write-Output "made: $target"
}

# sshd gives a new login the machine's PATH.
$path = [Environment]::GetEnvironmentVariable("Path", "Machine")
if (-not ($path -split ";" -contains "$target\python")) {
    [Environment]::SetEnvironmentVariable("Path", "$target\python;$path", "Machine")
}

# The load goes through ssh or is sent in here, so no port is opened. Only cmd.exe as ssh's shell
# passes bytes on unchanged, PowerShell does not.
$key = "HKLM:\SOFTWARE\OpenSSH"
if (Test-Path $key) {
    Set-ItemProperty $key -Name DefaultShell -Value "$env:SystemRoot\System32\cmd.exe"
}
Restart-Service sshd -ErrorAction SilentlyContinue
